"""The lesson: the tutorial's steps, and how the journal shows that each was done."""

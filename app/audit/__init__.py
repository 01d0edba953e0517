"""What happened: every token issued, every refusal, every change of state."""

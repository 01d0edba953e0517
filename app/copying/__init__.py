"""What is moved: a whole database to another one, a backup and its way back, and the orders given since."""

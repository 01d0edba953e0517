"""What the workers do by themselves: one of the fleet at a time removes what has expired and moves keys along."""

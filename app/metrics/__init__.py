"""What is counted: the metrics, the files in which workers share them, and the listener that serves them."""

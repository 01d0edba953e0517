"""Whether this server is well: two routes for probes, and the checks behind them."""

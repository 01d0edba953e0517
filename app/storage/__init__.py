"""The database: models and transactions, the migrations, and the one statement that each token costs."""

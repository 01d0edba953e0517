"""What must hold: the clauses of the RFCs, a table of cases, and a runner for any server.

It imports nothing from `app` or `tests`: the tests and the Postman collection import it.
"""

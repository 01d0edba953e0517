"""How requests reach the app: gunicorn's worker, with what gunicorn 27 lacks. It imports nothing else from `app`."""

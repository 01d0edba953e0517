"""The requests that the pages of the error codes show, with the variables of `error_pages.VARIABLES`."""

from __future__ import annotations

CREDENTIALS = '-u "$CLIENT_ID:$CLIENT_SECRET"'
IN_FORM = '-d "client_id=$CLIENT_ID" --data-urlencode "client_secret=$CLIENT_SECRET"'
GRANT = "-d grant_type=client_credentials"
REQUEST = f'curl -s {CREDENTIALS} {GRANT} "$ISSUER/oauth/token"'
REQUEST_WITH_RESOURCE = f'curl -s {CREDENTIALS} {GRANT} --data-urlencode "resource=$AUDIENCE" "$ISSUER/oauth/token"'
REQUEST_WITH_SCOPE = f'curl -s {CREDENTIALS} {GRANT} -d "scope=$SCOPE" "$ISSUER/oauth/token"'

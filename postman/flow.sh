#!/bin/sh
# The flow with curl alone: get a token, call the API with it, and see the three ways in which it is refused.
#
#   sh postman/flow.sh
#   BASE_URL=https://auth.example.com CLIENT_ID=… CLIENT_SECRET=… BRIEF_ID=… BRIEF_SECRET=… sh postman/flow.sh
#
# Without variables it uses the server of `make run` and its demo clients. A client of your own needs the scope
# reports:read, and the second one a lifetime of two seconds (`flask clients create NAME --scope … --lifetime 2`).
# It ends with 1 at the first response that is not the expected one.
set -eu

BASE_URL=${BASE_URL:-http://127.0.0.1:8000}
CLIENT_ID=${CLIENT_ID:-demo-reporting}
CLIENT_SECRET=${CLIENT_SECRET:-kts_demo-reporting-is-for-learning-only}
BRIEF_ID=${BRIEF_ID:-demo-brief}
BRIEF_SECRET=${BRIEF_SECRET:-kts_demo-brief-is-for-learning-only}

received=$(mktemp -d)
trap 'rm -rf "$received"' EXIT

# Sends a request, shows the response, and compares its status: send STATUS CURL-OPTIONS…
send() {
    wanted=$1
    shift
    status=$(curl --silent --show-error --dump-header "$received/headers" --output "$received/body" \
        --write-out '%{http_code}' "$@") || {
        echo "There is no response from $BASE_URL. Is the server running? \`make run\` starts it." >&2
        exit 1
    }
    echo "  $status"
    grep -i '^www-authenticate:' "$received/headers" | tr -d '\r' | sed 's/^/  /' || true
    # A token is a password: only its beginning is shown.
    echo "  $(sed 's/\("access_token": *"[^"]\{20\}\)[^"]*/\1…/' "$received/body")"
    if [ "$status" != "$wanted" ]; then
        echo "The status should have been $wanted." >&2
        exit 1
    fi
}

token() {
    sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p' "$received/body"
}

# The claims of a JWT: its second part, in Base64url, which is Base64 with other characters and without padding.
claims() {
    part=$(printf %s "$1" | cut -d . -f 2 | tr '_-' '/+')
    while [ $((${#part} % 4)) -ne 0 ]; do part="$part="; done
    printf %s "$part" | base64 -d
}

echo "1. Get a token: POST $BASE_URL/oauth/token"
send 200 --user "$CLIENT_ID:$CLIENT_SECRET" --data grant_type=client_credentials "$BASE_URL/oauth/token"
token=$(token)
case $token in
*.*.*)
    echo "  What it says: $(claims "$token")"
    ;;
esac

printf '\n%s\n' "2. Call the API with it: GET $BASE_URL/internal/reports"
send 200 --header "Authorization: Bearer $token" "$BASE_URL/internal/reports"

printf '\n%s\n' "3. Without a token: who is calling?"
send 401 "$BASE_URL/internal/reports"

printf '\n%s\n' "4. With a scope that is too small: GET $BASE_URL/admin/logs"
send 403 --header "Authorization: Bearer $token" "$BASE_URL/admin/logs"

printf '\n%s\n' "5. With a token that has expired: this one is valid for two seconds"
send 200 --user "$BRIEF_ID:$BRIEF_SECRET" --data grant_type=client_credentials "$BASE_URL/oauth/token"
token=$(token)
sleep 3
send 401 --header "Authorization: Bearer $token" "$BASE_URL/internal/reports"

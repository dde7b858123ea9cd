"""The web portal of a challenge: teams hand in images, organisers run the challenge.

    accounts.py     tokens, which stand for a team or an organiser
    sessions.py     who is signed in
    openid.py       a provider of OpenID Connect
    openid_state.py the sign-ins that were begun there
    openid_pages.py to the provider, and back
    protection.py   rate limits, security headers, forged requests
    uploads.py      archives that arrive in parts
    upload_files.py their files
    slow.py         connections that send too slowly
    transfer.py     the requests of an upload in parts
    inspection.py   a process that reads a stranger's archive
    publication.py  a process that writes the leaderboard
    processes.py    how both are started
    pages.py        the pages that everybody and that teams see
    submit.py       the form that hands in an image
    organiser.py    the organiser's pages
    views.py        rendering
    app.py          the ASGI application
    server.py       its server

Everything that changes a challenge is a function of ``evaluator.challenges``.
"""

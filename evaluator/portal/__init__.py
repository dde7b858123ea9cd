"""The web portal of a challenge: teams hand in images, organisers run the challenge.

    accounts.py   tokens, which stand for a team or the organiser
    uploads.py    archives that arrive in parts
    protection.py rate limits, security headers, forged requests
    session.py    who is signed in
    pages.py      the pages that everybody and that teams see
    organiser.py  the organiser's pages
    transfer.py   the requests of an upload in parts
    app.py        the ASGI application

Everything that changes a challenge is a function of ``evaluator.challenges``.
"""

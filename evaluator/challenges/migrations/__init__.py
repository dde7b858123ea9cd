"""Migrations of the challenge's database, by Alembic."""

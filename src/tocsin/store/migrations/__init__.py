"""Migrations: expand first, contract a version later, so that two versions can run side by side during an upgrade."""

"""Who asks, and who may: principals, the table of who may do what, passwords, tokens, sessions, sealed secrets."""

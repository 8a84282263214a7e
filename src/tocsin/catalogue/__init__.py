"""What there is and who keeps it: people with their contacts, teams, services and how they depend on each other."""

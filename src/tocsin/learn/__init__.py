"""What incidents taught: how promises were kept, and what each type of incident is judged by. Pure; from facts alone."""

"""What we owe: the tables that everything reads, the durable engine, and what keeps both in order."""

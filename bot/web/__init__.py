"""What people and GitHub reach over HTTP: the door for deliveries, and runs as JSON, stream and page."""

"""What runs inside an emulated sandbox: standard library only, and nothing of this project but itself."""

"""What people see: SQL in, frozen dataclasses out, no writes."""

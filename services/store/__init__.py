"""Memory: tables, transactions, the audit chain and the migrations. Knows the rules, nothing above it."""

//! Customers: accounts, contacts, leads.

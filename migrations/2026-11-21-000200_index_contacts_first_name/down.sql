DROP INDEX contacts_first_name;

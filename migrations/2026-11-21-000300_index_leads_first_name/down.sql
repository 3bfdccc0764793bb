DROP INDEX leads_first_name;

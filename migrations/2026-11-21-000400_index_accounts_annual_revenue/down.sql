DROP INDEX accounts_annual_revenue;

DROP INDEX conversations_lead_once;

DROP INDEX files_unmeasured;

DROP INDEX participants_pinned;

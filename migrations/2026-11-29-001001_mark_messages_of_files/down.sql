UPDATE messages SET kind = 'text' WHERE kind = 'file';

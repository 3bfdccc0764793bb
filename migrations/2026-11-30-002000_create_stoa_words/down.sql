DROP FUNCTION stoa_words(text);

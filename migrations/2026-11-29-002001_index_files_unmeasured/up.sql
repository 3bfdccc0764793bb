CREATE INDEX CONCURRENTLY files_unmeasured ON files (organization_id, id)
  WHERE measured_at IS NULL AND state = 'ready'
    AND content_type IN ('image/png', 'image/jpeg', 'image/jpg', 'image/gif', 'image/webp');

// Written by `make schema` from the migrated database.

diesel::table! {
    /// Companies that one sells to, buys from or competes with; a tree by parent_id.
    accounts (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        name -> Text,
        domain -> Nullable<Text>,
        website -> Nullable<Text>,
        industry -> Nullable<Text>,
        #[sql_name = "type"]
        type_ -> Text,
        annual_revenue -> Nullable<Numeric>,
        currency -> Text,
        employees -> Nullable<Int4>,
        phone -> Nullable<Text>,
        billing_address -> Nullable<Jsonb>,
        shipping_address -> Nullable<Jsonb>,
        description -> Nullable<Text>,
        /// The company this one belongs to. No cycles, at most 10 levels.
        parent_id -> Nullable<Uuid>,
        tags -> Array<Nullable<Text>>,
        custom_fields -> Jsonb,
        owner_id -> Nullable<Uuid>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        deleted_at -> Nullable<Timestamptz>,
        deleted_by -> Nullable<Uuid>,
    }
}

diesel::table! {
    /// What programs sign in with, in the name of a member.
    api_keys (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        /// The member it speaks for: never with more than they may themselves.
        owner_id -> Uuid,
        name -> Text,
        /// How the key begins: what it is found and recognised by.
        prefix -> Text,
        /// SHA-256 of the whole key.
        hash -> Bytea,
        /// That of the key before the last rotation.
        previous_hash -> Nullable<Bytea>,
        /// Until when the key before the last rotation is good.
        previous_until -> Nullable<Timestamptz>,
        /// RESOURCE:ACTION:SCOPE; what is not known allows nothing.
        permissions -> Array<Nullable<Text>>,
        expires_at -> Nullable<Timestamptz>,
        /// Up to a minute behind.
        last_used_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        created_by -> Uuid,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
    }
}

diesel::table! {
    /// People one deals with, most often at an account.
    contacts (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        first_name -> Text,
        last_name -> Text,
        email -> Nullable<Text>,
        phone -> Nullable<Text>,
        mobile -> Nullable<Text>,
        title -> Nullable<Text>,
        department -> Nullable<Text>,
        account_id -> Nullable<Uuid>,
        reports_to_id -> Nullable<Uuid>,
        address -> Nullable<Jsonb>,
        birthday -> Nullable<Date>,
        lead_source -> Nullable<Text>,
        do_not_call -> Bool,
        email_opt_out -> Bool,
        last_contacted_at -> Nullable<Timestamptz>,
        tags -> Array<Nullable<Text>>,
        custom_fields -> Jsonb,
        owner_id -> Nullable<Uuid>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        deleted_at -> Nullable<Timestamptz>,
        deleted_by -> Nullable<Uuid>,
    }
}

diesel::table! {
    /// Where members talk. A direct conversation is the only one of its pair.
    conversations (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        kind -> Text,
        title -> Nullable<Text>,
        topic -> Nullable<Text>,
        /// Both member ids in order: what makes a direct conversation unique.
        direct_key -> Nullable<Text>,
        /// The number of the newest message: 1, 2, 3 … without a gap.
        last_seq -> Int8,
        last_message_at -> Nullable<Timestamptz>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        archived_at -> Nullable<Timestamptz>,
        /// Public: every member but guests may find it and join; only who is in it reads.
        visibility -> Text,
        /// Of a direct one: one of the two has blocked the other. Follows from user_contacts, under the lock of both members.
        blocked -> Bool,
        /// The account that it is about. So are contact_id and lead_id of theirs: of a RECORD one exactly one is set, or it was purged.
        account_id -> Nullable<Uuid>,
        contact_id -> Nullable<Uuid>,
        lead_id -> Nullable<Uuid>,
        /// When the record that it was about was removed for good; the conversation stays.
        record_purged_at -> Nullable<Timestamptz>,
        /// Messages up to this number were removed when their time was over, save for roots that are still replied to.
        expired_seq -> Int8,
        /// The id of the object with its picture; null: there is none.
        avatar -> Nullable<Text>,
    }
}

diesel::table! {
    /// SHA-256 of the tokens of devices that people have signed in from. Not a tenant table.
    devices (hash) {
        hash -> Bytea,
        user_id -> Uuid,
        /// Wrong passwords since the last sign-in; with too many the device counts as unknown.
        failures -> Int4,
        created_at -> Timestamptz,
        last_used_at -> Timestamptz,
    }
}

diesel::table! {
    /// The emoji that an organization adds to those of Unicode.
    emojis (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        /// What stands between colons where it is used; of live ones no two have the same.
        name -> Text,
        /// The id of the object with its picture: a square.
        picture -> Text,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        deleted_at -> Nullable<Timestamptz>,
        deleted_by -> Nullable<Uuid>,
    }
}

diesel::table! {
    /// What has ended or changed of what sessions and API keys rest on. Kept for an hour.
    endings (xid, subject) {
        /// The transaction that did it.
        xid -> Int8,
        /// An organization, a user, a member, a session or an API key.
        subject -> Uuid,
        at -> Timestamptz,
    }
}

diesel::table! {
    /// The log: one row per changed record, written in the transaction that changed it, never changed.
    events (organization_id, stream_id, seq) {
        organization_id -> Uuid,
        stream_id -> Uuid,
        seq -> Int8,
        id -> Uuid,
        kind -> Text,
        entity -> Text,
        entity_id -> Uuid,
        /// The member who did it. No key, so that the log outlives the member. Null: the system, or, with a request_id, somebody who was not signed in.
        actor_id -> Nullable<Uuid>,
        payload -> Jsonb,
        request_id -> Nullable<Text>,
        at -> Timestamptz,
        /// The API key that the member's program used; null: none. No key, so that the log outlives it.
        api_key_id -> Nullable<Uuid>,
        /// The network address that the request came from; null: not known, or a message was sent.
        address -> Nullable<Text>,
        /// What the program called itself that sent the request; null: as address.
        user_agent -> Nullable<Text>,
    }
}

diesel::table! {
    /// What people upload. The content is an object of the store.
    files (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        /// As people call it: shown, and what it is saved as; never a path.
        name -> Text,
        content_type -> Text,
        /// In bytes: what was declared, and so what an object has.
        size -> Int4,
        state -> Text,
        /// SHA-256 of the content in hexadecimal, computed while it came in.
        checksum -> Nullable<Text>,
        /// What the client said it would be.
        expected_checksum -> Nullable<Text>,
        /// The id of the object with the content; a repeated upload makes another.
        object -> Nullable<Text>,
        /// When an upload that is not complete is forgotten.
        upload_until -> Nullable<Timestamptz>,
        created_by -> Uuid,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        /// In pixels, upright; null: not an image, not measured yet, damaged or too large.
        width -> Nullable<Int4>,
        height -> Nullable<Int4>,
        /// The small copies that there are beside the object: small, large.
        thumbnails -> Array<Nullable<Text>>,
        /// When an image was looked at, whatever came of it.
        measured_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Mutations sent with an Idempotency-Key, with their answers, for 24 hours.
    idempotency_keys (organization_id, member_id, key) {
        organization_id -> Uuid,
        member_id -> Uuid,
        key -> Text,
        request_hash -> Bytea,
        /// Set in the transaction of the mutation: something was written.
        done -> Bool,
        /// The body that was answered; null while the mutation runs.
        answer -> Nullable<Bytea>,
        /// When the mutation began; one that wrote nothing for five minutes may begin again.
        claimed_at -> Timestamptz,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// What people and conversations of another program have become here, so that a newer export of it adds to them. Messages need no row: their ids follow from what they were called there.
    imported_records (organization_id, source, external_id) {
        organization_id -> Uuid,
        source -> Text,
        /// What it is called there, behind its kind: person:U024BE7LH, conversation:C024BE91L.
        external_id -> Text,
        member_id -> Nullable<Uuid>,
        conversation_id -> Nullable<Uuid>,
        imported_at -> Timestamptz,
    }
}

diesel::table! {
    /// Who may become a member: whoever has the token that was mailed to them, once.
    invitations (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        email -> Text,
        role -> Text,
        /// SHA-256 of the token in the newest mail.
        token_hash -> Bytea,
        expires_at -> Timestamptz,
        accepted_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        /// Who they became.
        member_id -> Nullable<Uuid>,
        /// Who invites. While they may not give the role, nobody can accept.
        created_by -> Uuid,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        /// The organization's own role, which counts instead of `role`: `guest` then.
        custom_role_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    /// What is to be done after a commit: mails and upkeep, each at least once.
    jobs (id) {
        id -> Uuid,
        /// Null: of no organization, such as the mail of somebody who has none.
        organization_id -> Nullable<Uuid>,
        kind -> Text,
        /// What it is about, for people; never a secret.
        about -> Text,
        /// What its handler needs; may hold secrets, and so is emptied when it is done.
        payload -> Nullable<Jsonb>,
        status -> Text,
        /// How often it has been tried; starts again when somebody retries it.
        attempts -> Int4,
        max_attempts -> Int4,
        /// How often it has been taken in all: the number of the latest is the key to its lease.
        takes -> Int8,
        last_error -> Nullable<Text>,
        /// When it is taken next; while it runs, when its lease ends.
        run_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
    }
}

diesel::table! {
    /// People and companies who might buy, until they are converted or lost.
    leads (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        first_name -> Text,
        last_name -> Text,
        email -> Nullable<Text>,
        phone -> Nullable<Text>,
        company -> Nullable<Text>,
        title -> Nullable<Text>,
        source -> Nullable<Text>,
        status -> Text,
        score -> Int4,
        industry -> Nullable<Text>,
        annual_revenue -> Nullable<Numeric>,
        currency -> Text,
        employees -> Nullable<Int4>,
        website -> Nullable<Text>,
        address -> Nullable<Text>,
        city -> Nullable<Text>,
        state -> Nullable<Text>,
        country -> Nullable<Text>,
        postal_code -> Nullable<Text>,
        notes -> Nullable<Text>,
        assigned_to_id -> Nullable<Uuid>,
        /// The account that the lead is about, or became when it was converted.
        account_id -> Nullable<Uuid>,
        /// The contact that the lead became when it was converted.
        contact_id -> Nullable<Uuid>,
        converted_at -> Nullable<Timestamptz>,
        last_contacted_at -> Nullable<Timestamptz>,
        tags -> Array<Nullable<Text>>,
        custom_fields -> Jsonb,
        owner_id -> Nullable<Uuid>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        deleted_at -> Nullable<Timestamptz>,
        deleted_by -> Nullable<Uuid>,
    }
}

diesel::table! {
    /// How far each follower of the log has come in each stream; one without a row is before the first event.
    log_places (organization_id, stream_id, follower) {
        organization_id -> Uuid,
        stream_id -> Uuid,
        follower -> Text,
        seq -> Int8,
    }
}

diesel::table! {
    /// Who tried to sign in: every attempt whose password was looked at. Never changed; removed after a while.
    login_attempts (id) {
        id -> Uuid,
        /// Whose account it was. No key, so that the log outlives the account; null: there is no account with this address.
        user_id -> Nullable<Uuid>,
        /// SHA-256 of the e-mail address in lower case: nothing that an attacker can write at length.
        email_hash -> Bytea,
        outcome -> Text,
        address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        at -> Timestamptz,
    }
}

diesel::table! {
    /// A user in an organization: what a token speaks for and what records belong to.
    memberships (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        user_id -> Uuid,
        /// The name shown in this organization: the user's, copied when it changes.
        name -> Text,
        email -> Text,
        role -> Text,
        /// Whom the member reports to; TEAM permissions reach down this line.
        manager_id -> Nullable<Uuid>,
        title -> Nullable<Text>,
        status -> Text,
        joined_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        created_by -> Nullable<Uuid>,
        version -> Int4,
        /// The organization's own role, which counts instead of `role`.
        custom_role_id -> Nullable<Uuid>,
        /// The user's, copied when it changes.
        avatar -> Nullable<Text>,
    }
}

diesel::table! {
    /// Whom the body of a message names: an index of the bodies, kept in step with them.
    mentions (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        conversation_id -> Uuid,
        message_id -> Uuid,
        kind -> Text,
        member_id -> Nullable<Uuid>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
    }
}

diesel::table! {
    /// The files that messages bring along; a deleted message has none.
    message_attachments (organization_id, id) {
        organization_id -> Uuid,
        /// Of one message they fall in the order in which the files were given: newest first shows that order.
        id -> Uuid,
        conversation_id -> Uuid,
        message_id -> Uuid,
        file_id -> Uuid,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
    }
}

diesel::table! {
    /// What edited messages said before. A deleted message has none.
    message_versions (organization_id, message_id, version) {
        organization_id -> Uuid,
        message_id -> Uuid,
        /// The version of the message that had this body last.
        version -> Int4,
        body -> Text,
        /// When this body was written.
        written_at -> Timestamptz,
    }
}

diesel::table! {
    /// What was said. A deleted message keeps its place and loses its body.
    messages (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        conversation_id -> Uuid,
        seq -> Int8,
        sender_id -> Uuid,
        /// The sender's own key for this message: sending it again returns the message that exists.
        client_id -> Nullable<Text>,
        body -> Nullable<Text>,
        edited_at -> Nullable<Timestamptz>,
        deleted_at -> Nullable<Timestamptz>,
        deleted_by -> Nullable<Uuid>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        /// The message that this one replies to; null: it stands in the conversation itself.
        thread_root_id -> Nullable<Uuid>,
        /// The number of a reply in its thread: 1, 2, 3 … without a gap.
        thread_seq -> Nullable<Int4>,
        /// The number of the newest reply, counted in the statement that stores it.
        reply_count -> Int4,
        last_reply_at -> Nullable<Timestamptz>,
        /// When it was pinned to its conversation; null: it is not.
        pinned_at -> Nullable<Timestamptz>,
        pinned_by -> Nullable<Uuid>,
        /// Of what kind it is, or was before it was deleted.
        kind -> Text,
        /// What Stoa tells by it, for programs; null: somebody said it, or it was deleted.
        system -> Nullable<Jsonb>,
    }
}

diesel::table! {
    /// What members were told of that concerns them. Each row is one member's alone.
    notifications (organization_id, id) {
        organization_id -> Uuid,
        /// Made of the event and the member: what is done twice is one row. Begins with the time of the event.
        id -> Uuid,
        /// Who was told.
        member_id -> Uuid,
        kind -> Text,
        conversation_id -> Nullable<Uuid>,
        message_id -> Nullable<Uuid>,
        /// The number of the message: whoever has read the conversation up to it has read this.
        message_seq -> Nullable<Int8>,
        actor_id -> Nullable<Uuid>,
        /// When it was marked as read; follows the position of the member in the conversation soon after.
        marked_at -> Nullable<Timestamptz>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
    }
}

diesel::table! {
    /// Sign-ins by a provider that were begun: SHA-256 of the handle; gone when used. Not a tenant table.
    oidc_attempts (hash) {
        hash -> Bytea,
        provider -> Text,
        redirect_uri -> Text,
        /// Who it was found to be, who has yet to name the organization.
        user_id -> Nullable<Uuid>,
        /// SHA-256 of the code by which they were.
        code_hash -> Nullable<Bytea>,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    /// The tenants. Every tenant table starts its key with one of these ids.
    organizations (id) {
        id -> Uuid,
        name -> Text,
        slug -> Text,
        time_zone -> Text,
        currency -> Text,
        settings -> Jsonb,
        /// How long deleted records can be restored before they are purged.
        retention_days -> Int4,
        suspended_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        /// Whether members write only once they have shown that their address is theirs.
        require_verified_email -> Bool,
        /// Nobody gets in since then; an owner may restore it until purge_at.
        deleted_at -> Nullable<Timestamptz>,
        /// When everything in it is removed for good.
        purge_at -> Nullable<Timestamptz>,
        /// SHA-256 of the token in the mail to its owners, with which it is restored.
        restore_hash -> Nullable<Bytea>,
        /// Days that messages of direct conversations are kept; null: for ever. Likewise of groups, channels and those about records.
        keep_direct_days -> Nullable<Int4>,
        keep_group_days -> Nullable<Int4>,
        keep_channel_days -> Nullable<Int4>,
        keep_record_days -> Nullable<Int4>,
    }
}

diesel::table! {
    /// Who is, or was, in a conversation.
    participants (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        conversation_id -> Uuid,
        member_id -> Uuid,
        role -> Text,
        joined_at -> Timestamptz,
        left_at -> Nullable<Timestamptz>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        /// The newest message when they joined: what is up to it is not new to them, and has no receipts of theirs.
        joined_seq -> Int8,
        /// The last message that they have read, as they know it; never goes back.
        read_seq -> Int8,
        read_at -> Nullable<Timestamptz>,
        /// The last message that has reached one of their devices, as they know it; never goes back.
        delivered_seq -> Int8,
        delivered_at -> Nullable<Timestamptz>,
        /// As far as the log tells of read_seq.
        last_read_seq -> Int8,
        last_read_at -> Nullable<Timestamptz>,
        /// As far as the log tells of delivered_seq.
        last_delivered_seq -> Int8,
        last_delivered_at -> Nullable<Timestamptz>,
        pinned -> Bool,
        muted_until -> Nullable<Timestamptz>,
        notification_level -> Text,
        /// What the member has begun to write; never in the log.
        draft -> Nullable<Text>,
        /// The last message that they have sent; 0: none since this is noted.
        sent_seq -> Int8,
    }
}

diesel::table! {
    /// Who came how far, and when: a message was read at the first advance of that kind at or above it. Reading is delivery, too.
    position_advances (organization_id, conversation_id, member_id, kind, upto_seq) {
        organization_id -> Uuid,
        conversation_id -> Uuid,
        member_id -> Uuid,
        kind -> Text,
        upto_seq -> Int8,
        at -> Timestamptz,
    }
}

diesel::table! {
    /// What members show of themselves. Whether they are here is in no table: nodes know it.
    presences (organization_id, member_id) {
        organization_id -> Uuid,
        member_id -> Uuid,
        /// What is shown while the member is here.
        status -> Text,
        text -> Nullable<Text>,
        /// From then on as if status were online and text NULL.
        expires_at -> Nullable<Timestamptz>,
        hidden -> Bool,
        /// Whom the member has blocked. Follows from user_contacts, under the lock of both members.
        hidden_from -> Array<Nullable<Uuid>>,
        /// When the member last came or left; written a moment later, in batches.
        last_seen_at -> Nullable<Timestamptz>,
        /// Grows with what the member sets; 0: nothing so far.
        version -> Int4,
    }
}

diesel::table! {
    /// Emojis that members have put to messages: each once. A deleted message has none.
    reactions (organization_id, message_id, member_id, emoji) {
        organization_id -> Uuid,
        message_id -> Uuid,
        member_id -> Uuid,
        /// One Unicode emoji in its fully qualified form, or between colons the name of one of the organization's own.
        emoji -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// SHA-256 of every refresh token of a session; each has one successor, and a use after that was known revokes the session.
    refresh_tokens (organization_id, hash) {
        organization_id -> Uuid,
        hash -> Bytea,
        session_id -> Uuid,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        used_at -> Nullable<Timestamptz>,
        /// The secret of the next token, for a few seconds, readable only with this one.
        successor -> Nullable<Bytea>,
    }
}

diesel::table! {
    /// The roles that an organization adds to the built-in ones.
    roles (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        name -> Text,
        description -> Nullable<Text>,
        /// A word a permission, such as LEAD:READ:TEAM. One that a version of Stoa does not know allows nothing there.
        permissions -> Array<Nullable<Text>>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        /// Nobody has it any more; what once named it still does.
        deleted_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Messages that members have written to be sent later. Nobody but who wrote one sees it.
    scheduled_messages (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        conversation_id -> Uuid,
        thread_root_id -> Nullable<Uuid>,
        /// Null: it was sent, and the message has it, or it was cancelled.
        body -> Nullable<Text>,
        /// The files to bring along. By value: one that is gone by then is a failure that is told.
        file_ids -> Array<Nullable<Text>>,
        /// The author's own key for it: scheduling it again returns the one that exists.
        client_id -> Nullable<Text>,
        scheduled_for -> Timestamptz,
        status -> Text,
        message_id -> Nullable<Uuid>,
        failure_code -> Nullable<Text>,
        failure_message -> Nullable<Text>,
        /// Since when somebody is sending it, or has died of it: nothing else is done about it.
        sending_since -> Nullable<Timestamptz>,
        /// How often somebody has begun to send it: who was the latest may give it back.
        takes -> Int4,
        /// How often a job was left for it: the latest has an id that follows from this.
        plans -> Int4,
        created_by -> Uuid,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
        /// The id of the API key that wrote it; null: its author did. By value: one that is gone by then is a failure that is told.
        api_key -> Nullable<Text>,
    }
}

diesel::table! {
    /// What recurs: whoever of all nodes takes the row first leaves a job and sets the next time.
    schedules (name) {
        name -> Text,
        next_run_at -> Timestamptz,
        last_run_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// A sign-in on one device: the family of refresh tokens that descend from it.
    sessions (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        member_id -> Uuid,
        created_at -> Timestamptz,
        last_used_at -> Timestamptz,
        expires_at -> Timestamptz,
        revoked_at -> Nullable<Timestamptz>,
        revoked_because -> Nullable<Text>,
        address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        /// users.password_changes as the session was opened, or as it changed the password itself.
        password_changes -> Int4,
        /// When the person last proved who they are.
        authenticated_at -> Timestamptz,
    }
}

diesel::table! {
    /// The last number given out in a stream, and the last one no longer kept.
    stream_heads (organization_id, stream_id) {
        organization_id -> Uuid,
        stream_id -> Uuid,
        head_seq -> Int8,
        floor_seq -> Int8,
    }
}

diesel::table! {
    /// The ordered feeds: one per conversation, per entity type, per project, per member.
    streams (organization_id, stream_id) {
        organization_id -> Uuid,
        stream_id -> Uuid,
        kind -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// Who is in which team. A member who is removed is in none.
    team_members (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        team_id -> Uuid,
        member_id -> Uuid,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
    }
}

diesel::table! {
    /// Members who work together.
    teams (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        name -> Text,
        description -> Nullable<Text>,
        /// Whose TEAM permissions reach what the members of the team own.
        leader_id -> Nullable<Uuid>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
    }
}

diesel::table! {
    /// Who wants to hear of replies: whoever wrote the root or a reply, and whoever asked for it.
    thread_followers (organization_id, root_id, member_id) {
        organization_id -> Uuid,
        root_id -> Uuid,
        member_id -> Uuid,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// Whom members have in their contact lists. A pair has a row for each side; nobody sees the other's.
    user_contacts (organization_id, id) {
        organization_id -> Uuid,
        id -> Uuid,
        /// Whose list it is.
        owner_id -> Uuid,
        member_id -> Uuid,
        /// How they stand but for a block, which hides it from its owner and changes nothing for the other.
        relation -> Text,
        blocked_at -> Nullable<Timestamptz>,
        /// How they stand, as the owner sees it; none: not in the list, the row only remembers.
        status -> Text,
        /// When the owner last asked; kept when it comes to nothing, so that nobody asks all day.
        requested_at -> Nullable<Timestamptz>,
        nickname -> Nullable<Text>,
        favourite -> Bool,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int4,
    }
}

diesel::table! {
    /// Who people are at other providers (OpenID Connect), by which they sign in here. Not a tenant table.
    user_identities (id) {
        id -> Uuid,
        user_id -> Uuid,
        issuer -> Text,
        /// The provider's own name for the person: never given to anybody else.
        subject -> Text,
        /// What the provider said their address was, at the latest sign-in.
        email -> Nullable<Text>,
        created_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// SHA-256 of the one-time tokens that were mailed to people, or given to who must still give a code to sign in; gone when used. Not a tenant table.
    user_tokens (hash) {
        hash -> Bytea,
        user_id -> Uuid,
        purpose -> Text,
        /// Where it was sent: the address that whoever has it can read.
        email -> Text,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    /// People who can sign in, whatever organizations they belong to. Not a tenant table.
    users (id) {
        id -> Uuid,
        email -> Text,
        /// argon2id in PHC format; null: no password sign-in.
        password_hash -> Nullable<Text>,
        full_name -> Text,
        locale -> Text,
        time_zone -> Text,
        email_verified_at -> Nullable<Timestamptz>,
        last_login_at -> Nullable<Timestamptz>,
        failed_logins -> Int4,
        /// Sign-in is refused until then after too many failures.
        locked_until -> Nullable<Timestamptz>,
        disabled_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        /// How often all sessions were ended: by a changed password, or by signing out everywhere. A session stands only while it names the same number.
        password_changes -> Int4,
        phone -> Nullable<Text>,
        /// What a front end remembers of the person.
        settings -> Jsonb,
        /// What codes are made from (RFC 6238), sealed for this person with the key of the server.
        totp_secret -> Nullable<Bytea>,
        /// Since when signing in takes a code; null: it does not, whether there is a secret or not.
        totp_confirmed_at -> Nullable<Timestamptz>,
        /// The time step of the latest code that was used; it and all before it are worthless.
        totp_last_step -> Int8,
        /// SHA-256 of the person's id and each recovery code that has not been used.
        recovery_hashes -> Array<Nullable<Bytea>>,
        /// The id of the object with the person's picture; null: there is none.
        avatar -> Nullable<Text>,
    }
}

diesel::joinable!(accounts -> organizations (organization_id));
diesel::joinable!(api_keys -> organizations (organization_id));
diesel::joinable!(contacts -> organizations (organization_id));
diesel::joinable!(conversations -> organizations (organization_id));
diesel::joinable!(devices -> users (user_id));
diesel::joinable!(emojis -> organizations (organization_id));
diesel::joinable!(files -> organizations (organization_id));
diesel::joinable!(idempotency_keys -> organizations (organization_id));
diesel::joinable!(imported_records -> organizations (organization_id));
diesel::joinable!(invitations -> organizations (organization_id));
diesel::joinable!(jobs -> organizations (organization_id));
diesel::joinable!(leads -> organizations (organization_id));
diesel::joinable!(log_places -> organizations (organization_id));
diesel::joinable!(memberships -> organizations (organization_id));
diesel::joinable!(memberships -> users (user_id));
diesel::joinable!(mentions -> organizations (organization_id));
diesel::joinable!(message_attachments -> organizations (organization_id));
diesel::joinable!(message_versions -> organizations (organization_id));
diesel::joinable!(messages -> organizations (organization_id));
diesel::joinable!(notifications -> organizations (organization_id));
diesel::joinable!(oidc_attempts -> users (user_id));
diesel::joinable!(participants -> organizations (organization_id));
diesel::joinable!(position_advances -> organizations (organization_id));
diesel::joinable!(presences -> organizations (organization_id));
diesel::joinable!(reactions -> organizations (organization_id));
diesel::joinable!(refresh_tokens -> organizations (organization_id));
diesel::joinable!(roles -> organizations (organization_id));
diesel::joinable!(scheduled_messages -> organizations (organization_id));
diesel::joinable!(sessions -> organizations (organization_id));
diesel::joinable!(streams -> organizations (organization_id));
diesel::joinable!(team_members -> organizations (organization_id));
diesel::joinable!(teams -> organizations (organization_id));
diesel::joinable!(thread_followers -> organizations (organization_id));
diesel::joinable!(user_contacts -> organizations (organization_id));
diesel::joinable!(user_identities -> users (user_id));
diesel::joinable!(user_tokens -> users (user_id));

diesel::allow_tables_to_appear_in_same_query!(
    accounts,
    api_keys,
    contacts,
    conversations,
    devices,
    emojis,
    endings,
    events,
    files,
    idempotency_keys,
    imported_records,
    invitations,
    jobs,
    leads,
    log_places,
    login_attempts,
    memberships,
    mentions,
    message_attachments,
    message_versions,
    messages,
    notifications,
    oidc_attempts,
    organizations,
    participants,
    position_advances,
    presences,
    reactions,
    refresh_tokens,
    roles,
    scheduled_messages,
    schedules,
    sessions,
    stream_heads,
    streams,
    team_members,
    teams,
    thread_followers,
    user_contacts,
    user_identities,
    user_tokens,
    users,
);

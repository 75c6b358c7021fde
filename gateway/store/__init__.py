"""Where links live: the database that is the truth, and the copies that make it fast.

database    one database, SQLite or PostgreSQL (engines), whose errors become ours (faults)
schema      the tables, and their history (migrations)
changes     the numbered feed of changes: every write of a link takes the next number
links       links, written and read by their owners and looked up by their tokens, with rows,
            listing and domains for its single concerns
resealing   rotation of the secret keys, for every column of sealed texts
inserts     an INSERT that leaves alone what is there, in both databases' words
uses        the uses of a limited link, spent by one conditional write
keys        the admin API's keys
entry       what the journal hands over: entries, events, and how far it has come
absorbing   all of that, entered and counted
access_log  the access log, read and deleted
events      what somebody wants to be told of, until it is told
claims      rows that are due, for one worker alone, for a time
outbox      mails that are on their way
deliveries  webhooks that have not arrived yet
logos       the logos that links name, once they have been fetched
redis       the connection to Redis, real or embedded, as redis_url names it
cache       links in memory (shelf) and in Redis (snapshots), and how soon a change is known
            (freshness)
throttle    how often something may be tried, without Redis in windows of its own; throttle_state
            is what a link's owner is told of it
"""

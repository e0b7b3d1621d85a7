// Package feed keeps the feeds of advisories that a user follows.
//
// A feed is an immutable tree of records, sorted into shards by the names of packages, and a signed head that names the tree (protocol.FeedHead). The head of a feed has a
// number that only grows, and expires soon. A Folder keeps the subscriptions:
//
//	lock             one command at a time changes the feeds
//	feeds.nuon       the feeds: origins, keys, the heads that were seen, the tree in use
//	NAME/CID/        the tree of the last update
//	NAME/CID/feed.nuon      the manifest: ecosystems, and the size and hash of each file
//	NAME/CID/Go/3f.zst      a shard
//	NAME/CID/statements.json  what the packagers say of records
//
// feeds.nuon names the tree of each feed, and one rename replaces it. So an update that was cut off, or was refused, leaves the old number in use, whole.
package feed

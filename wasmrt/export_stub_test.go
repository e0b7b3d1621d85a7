package wasmrt

// For tests of the cache.
var (
	StubModule = stubModule
	SealEntry  = sealEntry
)

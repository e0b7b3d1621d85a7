package protocol

// OpInventory requests the parts of a package: InventoryArgs and its packages → bytes: a line of JSON with an InventoryHead, and one for each inventory.Part.
const OpInventory Op = "inventory"

// InventoryArgs names a package. Packages are those of its evaluation, as for a realize call, if the node may not have them; the call builds nothing.
type InventoryArgs struct {
	RealizeArgs
	ID string `json:"id"` // as in PathArgs
	// Own leaves out the inputs, the runtime and the sources.
	Own bool `json:"own,omitempty"`
}

// InventoryHead is what an inventory has beside its parts.
type InventoryHead[P any] struct {
	Root    P        `json:"root"`
	Missing []string `json:"missing,omitempty"` // why it is not whole
	Parts   int      `json:"parts"`             // lines that follow
}

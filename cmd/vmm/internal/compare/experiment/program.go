package experiment

// program is where a root directory has our payload.
const program = "/payload"

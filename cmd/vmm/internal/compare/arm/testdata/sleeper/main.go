// Command sleeper does not end by itself.
package main

import "time"

func main() { time.Sleep(1000 * time.Hour) }

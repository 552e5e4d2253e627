package report

import (
	"encoding/json"
	"fmt"
	"strings"

	"microvm/cmd/vmm/internal/compare"
)

// trace is the command that prints the raw samples with a key, a line each: arm,
// instances, round, and value, text or failure. Parts of the key that are empty
// are not asked for: then samples of all arms or all numbers of instances come.
func trace(k compare.Key) string {
	var conditions []string
	is := func(field string, value any) {
		text, err := json.Marshal(value)
		if err != nil {
			panic(err) // a string or a number has no reason to
		}
		conditions = append(conditions, fmt.Sprintf(".%s == %s", field, text))
	}
	text := func(field, value string) {
		if value != "" {
			is(field, value)
		}
	}
	text("experiment", k.Experiment)
	text("metric", k.Metric)
	text("arm", k.Arm)
	text("from", string(k.From))
	text("to", string(k.To))
	text("cache", string(k.Cache))
	if k.Instances > 0 {
		is("instances", k.Instances)
	}
	program := fmt.Sprintf("select(%s) | [.arm, .instances // 0, .round, .failed // .text // .value] | @tsv",
		strings.Join(conditions, " and "))
	return "jq -r " + shellQuote(program) + " samples.jsonl"
}

// shellQuote makes one word of text for a POSIX shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// shellWord is text as a word, quoted if it must be.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,@%+", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return shellQuote(text)
}

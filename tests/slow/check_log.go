// Command check_log reads a Lucid log with Go's own transparency-log packages, the
// ones that the go command trusts sum.golang.org with.
//
//	check_log records CHECKPOINT        every entry is in the tree of the tiles
//	check_log tree OLD NEW              the tiles' tree extends the older one
//	check_log proofs RUN_ID...          GET /v1/receipts/{id}/proof
//	check_log consistency OLD NEW       GET /log/{tenant}/consistency
//
// CHECKPOINT, OLD and NEW are files. The environment has SERVER (http://host:port),
// LOG (the log's path on it), API_KEY and VKEY. Prints how much it has checked.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	log.SetFlags(0)
	commands := map[string]func([]string) (int, error){
		"records":     checkRecords,
		"tree":        checkTree,
		"proofs":      checkProofs,
		"consistency": checkConsistency,
	}
	count, err := commands[os.Args[1]](os.Args[2:])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(count)
}

func checkRecords(files []string) (int, error) {
	tree, err := openFile(files[0])
	if err != nil {
		return 0, err
	}
	hashes := tlog.TileHashReader(tree, tiles{})
	entries, err := readEntries(tree.N)
	if err != nil {
		return 0, err
	}
	for n, entry := range entries {
		proof, err := tlog.ProveRecord(tree.N, int64(n), hashes)
		if err != nil {
			return 0, err
		}
		leaf := tlog.RecordHash(entry)
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(n), leaf); err != nil {
			return 0, fmt.Errorf("entry %d: %w", n, err)
		}
	}
	return len(entries), nil
}

func checkTree(files []string) (int, error) {
	older, newer, err := openBoth(files)
	if err != nil {
		return 0, err
	}
	proof, err := tlog.ProveTree(newer.N, older.N, tlog.TileHashReader(newer, tiles{}))
	if err != nil {
		return 0, err
	}
	return len(proof), tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash)
}

func checkProofs(runs []string) (int, error) {
	for _, run := range runs {
		var answer struct{ Proof receiptProof }
		if err := getJSON("/v1/receipts/"+run+"/proof", &answer); err != nil {
			return 0, err
		}
		if err := answer.Proof.check(); err != nil {
			return 0, fmt.Errorf("%s: %w", run, err)
		}
	}
	return len(runs), nil
}

// receiptProof has the members of a proof (WIRE section 2) that prove something.
type receiptProof struct {
	Leaf       string
	LeafIndex  int64 `json:"leaf_index"`
	Proof      []string
	Checkpoint string
}

func (p receiptProof) check() error {
	tree, err := openCheckpoint([]byte(p.Checkpoint))
	if err != nil {
		return err
	}
	leaf, err := base64.StdEncoding.DecodeString(p.Leaf)
	if err != nil {
		return err
	}
	hashes, err := decodeHashes(p.Proof)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(hashes, tree.N, tree.Hash, p.LeafIndex, tlog.RecordHash(leaf))
}

func checkConsistency(files []string) (int, error) {
	older, newer, err := openBoth(files)
	if err != nil {
		return 0, err
	}
	var answer struct{ Proof []string }
	path := fmt.Sprintf("%s/consistency?from=%d&to=%d", os.Getenv("LOG"), older.N, newer.N)
	if err := getJSON(path, &answer); err != nil {
		return 0, err
	}
	proof, err := decodeHashes(answer.Proof)
	if err != nil {
		return 0, err
	}
	return len(proof), tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash)
}

func openBoth(files []string) (older, newer tlog.Tree, err error) {
	if older, err = openFile(files[0]); err == nil {
		newer, err = openFile(files[1])
	}
	return
}

func openFile(name string) (tlog.Tree, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return tlog.Tree{}, err
	}
	return openCheckpoint(data)
}

// openCheckpoint reads a C2SP tlog-checkpoint: tlog.ParseTree knows only the text of
// sum.golang.org, which has a first line of its own.
func openCheckpoint(data []byte) (tree tlog.Tree, err error) {
	verifier, err := note.NewVerifier(os.Getenv("VKEY"))
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tree, errors.New("not a checkpoint of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// tiles is a tlog.TileReader of C2SP tlog-tiles, whose paths are those of
// sum.golang.org without the height.
type tiles struct{}

func (tiles) Height() int { return height }

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height))
		data, err := getTile("tile/" + path)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func readEntries(size int64) ([][]byte, error) {
	var entries [][]byte
	for start := int64(0); start < size; start += 1 << height {
		bundle := tlog.Tile{H: height, L: -1, N: start >> height, W: 1 << height}
		if size-start < 1<<height {
			bundle.W = int(size - start)
		}
		prefix := fmt.Sprintf("tile/%d/data/", height)
		data, err := getTile("tile/entries/" + strings.TrimPrefix(bundle.Path(), prefix))
		if err != nil {
			return nil, err
		}
		for len(data) > 0 {
			end := 2 + int(binary.BigEndian.Uint16(data))
			entries, data = append(entries, data[2:end]), data[end:]
		}
	}
	return entries, nil
}

var seen = map[string][]byte{}

func getTile(path string) ([]byte, error) {
	if data, ok := seen[path]; ok {
		return data, nil
	}
	data, err := get(os.Getenv("LOG") + "/" + path)
	seen[path] = data
	return data, err
}

func getJSON(path string, into any) error {
	data, err := get(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func get(path string) ([]byte, error) {
	request, err := http.NewRequest("GET", os.Getenv("SERVER")+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("API_KEY"))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}

func decodeHashes(items []string) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(items))
	for i, item := range items {
		data, err := hex.DecodeString(item)
		if err != nil || len(data) != tlog.HashSize {
			return nil, fmt.Errorf("%q is no hash", item)
		}
		copy(hashes[i][:], data)
	}
	return hashes, nil
}

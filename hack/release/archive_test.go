// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

func TestOrderOfEntriesChangesNoArchive(t *testing.T) {
	at := time.Unix(1_700_000_000, 0).UTC()
	entries := addFolderEntries([]archiveEntry{{"b/c", 0o755, []byte("program")}, {"a", 0o644, []byte("text")}, {"b/a/d", 0o644, nil}})
	reversed := slices.Clone(entries)
	slices.Reverse(reversed)
	for name, pack := range map[string]func([]archiveEntry, time.Time) ([]byte, error){"tar": packTar, "tar.gz": packTarGzip, "zip": packZip} {
		first, err := pack(entries, at)
		if err != nil {
			t.Fatal(err)
		}
		second, err := pack(reversed, at.In(time.FixedZone("elsewhere", 3600)).UTC())
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s: two archives of the same entries differ (%v)", name, err)
		}
		later, err := pack(entries, at.Add(time.Minute))
		if err != nil || bytes.Equal(first, later) {
			t.Errorf("%s: the time is not in the archive (%v)", name, err)
		}
	}
}

func TestArchiveIsReadBackAsItWas(t *testing.T) {
	archive, err := packTar(addFolderEntries([]archiveEntry{{"b/c", 0o755, []byte("program")}, {"a", 0o644, []byte("text")}}), time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = forEachEntry(bytes.NewReader(archive), func(e archiveEntry) error {
		got = append(got, e.name+"="+string(e.content))
		return nil
	})
	if want := []string{"a=text", "b/c=program"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, want %q (%v)", got, want, err)
	}
	outside, err := packTar([]archiveEntry{{"../a", 0o644, nil}}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := unpackTar(bytes.NewReader(outside), t.TempDir()); err == nil {
		t.Error("an archive writes outside its folder")
	}
}

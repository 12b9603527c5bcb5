#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A database in a tail slice. Its journal has no file of its own: the table says which exist.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"

setup() {
	common_setup
	make_image "$temp/disk" 70001
	snapshot "$temp/disk"
	mount_slices "$temp/disk" 'db=@70001,resize'
}

sql() {
	timeout 60 sqlite3 -bail -cmd '.timeout 30000' -cmd 'PRAGMA journal_mode = MEMORY' "$@" | tail -n +2
}

fill() {
	sql "$1" <<-'END'
		CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, size INTEGER);
		CREATE INDEX item_name ON item (name);
		BEGIN;
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
		INSERT INTO item SELECT i, printf('item %d', i * 7919 % 10007), i * i FROM n;
		COMMIT;
	END
}

@test "a schema and 10,000 rows, and the copy is a database" {
	fill "$mnt/db"
	assert_equal "$(sql "$mnt/db" 'PRAGMA integrity_check')" ok
	assert_equal "$(sql "$mnt/db" 'SELECT count(*), sum(size) FROM item')" '10000|333383335000'

	unmount
	cut_out "$temp/disk" 70001 1G "$temp/copy"
	assert_equal "$(sql "$temp/copy" 'PRAGMA integrity_check')" ok
	assert_equal "$(sql "$temp/copy" 'SELECT count(*), sum(size) FROM item')" '10000|333383335000'
	cmp -n 70001 "$temp/disk" "$temp/disk.snapshot"
}

@test "updates, deletes and a VACUUM that shrinks the image" {
	fill "$mnt/db"
	before=$(stat -c %s "$temp/disk")
	sql "$mnt/db" "UPDATE item SET name = name || ' x' WHERE id % 3 = 0"
	sql "$mnt/db" 'DELETE FROM item WHERE id > 100; VACUUM'
	assert_equal "$(sql "$mnt/db" 'SELECT count(*) FROM item')" 100
	[ "$(stat -c %s "$temp/disk")" -lt "$before" ]

	unmount
	cut_out "$temp/disk" 70001 1G "$temp/copy"
	assert_equal "$(sql "$temp/copy" 'PRAGMA integrity_check')" ok
}

@test "a rollback, and a read through mmap" {
	fill "$mnt/db"
	sql "$mnt/db" 'BEGIN; DELETE FROM item; ROLLBACK'
	assert_equal "$(sql "$mnt/db" 'SELECT count(*) FROM item')" 10000
	assert_equal "$(sql -cmd '.output /dev/null' -cmd 'PRAGMA mmap_size = 100000000' -cmd '.output' \
		"$mnt/db" 'SELECT count(*), sum(size) FROM item')" '10000|333383335000'
}

@test "two writers wait for each other" {
	fill "$mnt/db"
	pids=()
	for writer in 1 2; do
		for ((i = 0; i < 20; i++)); do
			sql "$mnt/db" "INSERT INTO item (name) VALUES ('w$writer')"
		done 3>&- &
		pids+=("$!")
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
	assert_equal "$(sql "$mnt/db" 'SELECT count(*) FROM item')" 10040
	assert_equal "$(sql "$mnt/db" 'PRAGMA integrity_check')" ok
}

# bats test_tags=writethrough
@test "a database of fixed size: rows change, the file cannot grow" {
	fill "$mnt/db"
	unmount
	size=$(($(stat -c %s "$temp/disk") - 70001))
	mount_slices "$temp/disk" "db=@70001+$size"

	sql "$mnt/db" 'UPDATE item SET size = -size'
	assert_equal "$(sql "$mnt/db" 'SELECT sum(size) FROM item')" -333383335000
	run timeout 60 sqlite3 -bail -cmd 'PRAGMA journal_mode = MEMORY' "$mnt/db" \
		'CREATE TABLE more AS SELECT * FROM item'
	[ "$status" -ne 0 ]
	[[ $output == *full* ]]
	assert_equal "$(sql "$mnt/db" 'PRAGMA integrity_check')" ok
}

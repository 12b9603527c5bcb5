#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Tensors of safetensors and GGUF files, against NumPy.

# shellcheck source-path=SCRIPTDIR source=../lib/common.bash
source "$BATS_TEST_DIRNAME/../lib/common.bash"
# shellcheck source-path=SCRIPTDIR source=../lib/cli.bash
source "$BATS_TEST_DIRNAME/../lib/cli.bash"

tensors=(/usr/bin/python3 "$BATS_TEST_DIRNAME/layout_tensors.py")

@test "safetensors: numpy.memmap of each file is the tensor" {
	"${tensors[@]}" safetensors "$temp/model" "$seed"
	start_mmapfs -o xattr "$temp/model" "$mnt"

	assert_equal "$("${tensors[@]}" compare "$temp/model" "$mnt")" 104
	cmp "$temp/model.json" "$mnt/header.json"
	assert_equal "$(call getxattr "$mnt/f32.3x5_weight" user.mmapfs.layout)" safetensors
}

@test "GGUF: numpy.memmap of each file is the tensor" {
	"${tensors[@]}" gguf "$temp/model" "$seed"
	start_mmapfs -o xattr "$temp/model" "$mnt"

	assert_equal "$("${tensors[@]}" compare "$temp/model" "$mnt")" 56
	assert_equal "$(call getxattr "$mnt/f32.3x5_weight" user.mmapfs.layout)" gguf
}

@test "a tensor that is written through the mount is in the file, and nothing else is changed" {
	local kind offset

	for kind in safetensors gguf; do
		"${tensors[@]}" "$kind" "$temp/model" "$seed"
		snapshot "$temp/model"
		start_mmapfs -o xattr "$temp/model" "$mnt"
		offset=$(call getxattr "$mnt/f32.64x32_weight" user.mmapfs.offset)
		/usr/bin/python3 -c 'import numpy, sys
array = numpy.memmap(sys.argv[1], "<f4", "r+", shape=(64, 32))
array[:] = 1.5
array.flush()' "$mnt/f32.64x32_weight"
		unmount

		assert_untouched "$temp/model" "$offset" 8K
		/usr/bin/python3 -c 'import numpy, sys
assert (numpy.fromfile(sys.argv[1], "<f4", 2048, offset=int(sys.argv[2])) == 1.5).all()' \
			"$temp/model" "$offset"
	done
}

@test "a file that was cut shows the tensors, and mounts with lenient" {
	local kind

	for kind in safetensors gguf; do
		"${tensors[@]}" "$kind" "$temp/model" "$seed"
		truncate -s -100 "$temp/model"
		"$MMAPFS" plan "$temp/model" >"$temp/plan"
		grep 'reaches outside' "$temp/plan"
		refute timeout 20 "$MMAPFS" "$temp/model" "$mnt"
		start_mmapfs -o xattr,lenient "$temp/model" "$mnt"
		cut_out "$temp/model" "$(call getxattr "$mnt/f32.64x32_weight" user.mmapfs.offset)" 8K |
			cmp - "$mnt/f32.64x32_weight"
		unmount
	done
}

@test "a header that is broken is refused, and layout=none shows the file" {
	/usr/bin/python3 -c 'import struct, sys
header = b"""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{}}"""
open(sys.argv[1], "wb").write(struct.pack("<Q", len(header)) + header + b"x")' "$temp/model"
	plan_refused 1 'the JSON of this safetensors file, at byte [0-9]+: duplicate object key' -- \
		"$temp/model"
	start_mmapfs -o layout=none "$temp/model" "$mnt"

	cmp "$temp/model" "$mnt/model"
}

@test "tensors whose size does not fit their shape, or whose type is unknown, are counted" {
	/usr/bin/python3 - "$temp/a" "$temp/b" <<-'END'
		import json, struct, sys
		header = json.dumps({
		    "good": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
		    "short": {"dtype": "F32", "shape": [2], "data_offsets": [0, 7]},
		}).encode()
		open(sys.argv[1], "wb").write(struct.pack("<Q", len(header)) + header + bytes(8))
		text = lambda value: struct.pack("<Q", len(value)) + value
		tensor = lambda name, kind: text(name) + struct.pack("<IQIQ", 1, 2, kind, 0)
		open(sys.argv[2], "wb").write((b"GGUF" + struct.pack("<IQQ", 3, 2, 0) +
		    tensor(b"good", 0) + tensor(b"new", 999)).ljust(200, b"\0"))
	END
	"$MMAPFS" plan "$temp/a" >"$temp/plan"
	grep -E '^# a: safetensors, 2 files; left out: 1 malformed$' "$temp/plan"
	"$MMAPFS" plan "$temp/b" >"$temp/plan"
	grep -E '^# b: gguf, 1 file; left out: 1 unknown type$' "$temp/plan"
}

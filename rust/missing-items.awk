# SPDX-License-Identifier: GPL-2.0
#
# awk -f missing-items.awk KERNEL-BINDINGS OWN-BINDINGS
#
# Prints an option of bindgen for each item of OWN-BINDINGS that
# KERNEL-BINDINGS lacks, or has as an opaque name alone: what the module must
# generate for itself, while it shares all other types with the kernel crate.

function keep(name) {
	if (FILENAME == ARGV[1])
		known[name] = 1
	else if (!(name in known) && name !~ /^(_bindgen_ty_|__Bindgen|__Incomplete)/)
		missing[name] = 1
}

# The fields of a type decide whether it is more than a name.
pending != "" {
	if ($1 != "_unused:" && $1 != "_address:")
		keep(pending)
	else if (FILENAME == ARGV[1])
		opaque[pending] = 1
	else if (!(pending in opaque))
		keep(pending)
	pending = ""
}

$1 == "pub" && ($2 == "struct" || $2 == "union") {
	name = $3
	sub(/[<({].*/, "", name)
	pending = name
	# A type on one line has no fields to wait for.
	if ($0 ~ /[;}]$/) {
		keep(pending)
		pending = ""
	}
	next
}

$1 == "pub" && ($2 == "type" || $2 == "const" || $2 == "fn" || $2 == "static") {
	name = $3 == "mut" ? $4 : $3
	sub(/[:<(=;].*/, "", name)
	if ($2 == "const" && name == "fn")
		next
	keep(name)
}

END {
	for (name in missing)
		print "--allowlist-item", name
}

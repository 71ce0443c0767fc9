// Compiles the contracts of this folder. Run by go generate; usage: node compile.js COMBINED SUMS
// COMBINED gets what abigen reads (solc's combined JSON) for the contracts named below: libraries and abstract
// contracts have no code of their own. SUMS gets the SHA-256 of everything that the code depends on, so that a test can
// tell stale bindings.
"use strict";
const crypto = require("crypto");
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const names = ["RunToken", "RunEscrow", "Distributor"];
const read = (file) => fs.readFileSync(path.join(__dirname, file), "utf8");

const sources = {};
for (const file of fs.readdirSync(__dirname).filter((f) => f.endsWith(".sol")).sort()) {
  sources[file] = { content: read(file) };
}
const input = {
  language: "Solidity",
  sources,
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: "cancun",
    // Without the metadata hash a changed comment does not change the code.
    metadata: { bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.methodIdentifiers"] } },
  },
};
const findImport = (file) => ({ contents: read(path.join("node_modules", file)) });
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));

const problems = output.errors || [];
for (const p of problems) process.stderr.write(p.formattedMessage + "\n");
if (problems.length > 0) process.exit(1); // warnings too

const contracts = {};
for (const name of names) {
  const c = output.contracts[name + ".sol"][name];
  contracts[name + ".sol:" + name] = {
    // Every contract with an EIP-712 domain has this function, and abigen declares its result type once for each.
    abi: c.abi.filter((item) => name === "Distributor" || item.name !== "eip712Domain"),
    bin: c.evm.bytecode.object,
    hashes: c.evm.methodIdentifiers,
  };
}
const [combined, sums] = process.argv.slice(2);
fs.writeFileSync(combined, JSON.stringify({ version: solc.version(), contracts }));
fs.writeFileSync(
  sums,
  [...Object.keys(sources), "compile.js", "package.json", "package-lock.json"]
    .map((f) => crypto.createHash("sha256").update(read(f)).digest("hex") + "  " + f + "\n")
    .join("")
);

// Imports a Postman collection into a folder that Bruno can run, as Bruno's window does.
// node bruno.mjs FILE FOLDER
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";

const require = createRequire(import.meta.url);
const { postmanToBruno } = require("@usebruno/converters");
const { createCollectionFromBrunoObject } = require("@usebruno/cli/src/utils/collection.js");

const [, , file, folder] = process.argv;
mkdirSync(folder, { recursive: true });
const { collection: imported, issues } = await postmanToBruno(JSON.parse(readFileSync(file, "utf8")));
await createCollectionFromBrunoObject(imported, folder, { format: "bru" });
process.stdout.write(JSON.stringify({ imported, issues }));

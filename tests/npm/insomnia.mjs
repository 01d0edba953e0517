// Imports a Postman collection as Insomnia does, and prints its requests and folders.
// node insomnia.mjs COLLECTION
import { readFileSync } from "node:fs";
import { convert } from "insomnia-importers";

const imported = await convert(readFileSync(process.argv[2], "utf8"));
process.stdout.write(JSON.stringify(imported.data.resources));

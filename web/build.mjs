// Builds the explainer: everything under src/ becomes one file without a network, which the wheel carries.
//   node build.mjs [OUT]    default OUT: ../striate/report/explain.html
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../striate/report/explain.html");

const common = { bundle: true, minify: true, write: false, absWorkingDir: here, legalComments: "none" };
const [script, style, page] = await Promise.all([
  build({
    ...common,
    entryPoints: ["src/main.tsx"],
    format: "iife",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    charset: "utf8",
  }),
  build({ ...common, entryPoints: ["src/style.css"], charset: "utf8" }),
  readFile(join(here, "src/page.html"), "utf8"),
]);

// "</script" inside a string of the program would end it early.
const program = script.outputFiles[0].text.replaceAll("</script", "<\\/script").trim();
const parts = { "/*style*/": style.outputFiles[0].text.trim(), "/*program*/": program };
let built = page;
for (const [place, text] of Object.entries(parts)) {
  if (built.split(place).length !== 2) throw new Error(`src/page.html: expected ${place} once`);
  built = built.replace(place, () => text);
}
await mkdir(dirname(out), { recursive: true });
await writeFile(`${out}.new`, built);
await rename(`${out}.new`, out);
console.log(`${out}: ${(Buffer.byteLength(built) / 1000).toFixed(0)} kB`);

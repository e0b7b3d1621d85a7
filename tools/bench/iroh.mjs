// Gives and takes blobs with iroh, between two processes of one machine.
//
//   iroh.mjs MODULE add STORE PATH        puts a file or a folder into a store and prints what names it
//   iroh.mjs MODULE give STORE            prints where it can be asked, and gives until its standard input ends
//   iroh.mjs MODULE take STORE WHAT FROM  takes what these two printed, and prints how many nanoseconds that took
//
// MODULE is the folder of the npm package. iroh calls a relay of its makers', and nothing turns that off:
// run this where there is no network but loopback.
import { createRequire } from 'node:module'

const [module, command, store, ...args] = process.argv.slice(2)
const { Iroh, BlobDownloadOptions, SetTagOption } = createRequire(import.meta.url)(module)
const node = await Iroh.persistent(store, { ipv4Addr: '127.0.0.1:0', nodeDiscovery: 'None' })

// all waits until a function that tells its progress says that all is done.
const all = (call) => new Promise((resolve, reject) => {
  call((err, p) => {
    if (err || p?.abort) reject(err ?? new Error(p.abort.error))
    else if (p?.allDone) resolve(p.allDone)
  }).catch(reject)
})

if (command === 'add') {
  const { hash, format } = await all((cb) => node.blobs.addFromPath(args[0], false, SetTagOption.auto(), { wrap: false }, cb))
  const { hash: first } = await node.blobs.addBytes([1])
  console.log(JSON.stringify({ hash, format, first }))
} else if (command === 'give') {
  const { nodeId } = await node.net.nodeAddr()
  const { listenAddrs } = await node.node.status()
  console.log(JSON.stringify({ nodeId, addresses: listenAddrs.filter((a) => a.startsWith('127.')) }))
  process.on('SIGINT', () => {}) // a store that is not closed has to be repaired
  process.stdin.resume()
  await new Promise((resolve) => process.stdin.on('end', resolve))
} else {
  const [what, from] = args.map((a) => JSON.parse(a))
  const take = (hash, format) =>
    all((cb) => node.blobs.download(hash, new BlobDownloadOptions(format, [from], SetTagOption.auto()), cb))
  await take(what.first, 'Raw') // finds the way there, which is not what is measured
  const start = process.hrtime.bigint()
  await take(what.hash, what.format)
  console.log(String(process.hrtime.bigint() - start))
}
await node.node.shutdown()
process.exit(0)

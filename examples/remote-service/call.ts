import { connectService } from 'waystation/service'

await using math = await connectService({
  server: '127.0.0.1',
  port: 4747,
  tls: { cacertfile: 'certs/ca.pem', certfile: 'certs/math.pem', keyfile: 'certs/math.key' },
  as: 'json',
})
console.log(await math.call({ add: [1, 2, 3] }))

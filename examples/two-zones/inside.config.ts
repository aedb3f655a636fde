import { defineConfig } from 'waystation'

// The backend, on premises: it gives what its grants say to whoever has a certificate of the CA, and takes nothing.
export default defineConfig({
  addr: '127.0.0.1:8081',
  dataDir: 'inside-data',
  linkServer: {
    // On one machine, as here, the link needs no other address; leave `host` out where the zones are apart.
    host: '127.0.0.1',
    port: 5555,
    tls: { cacertfile: 'certs/ca.pem', certfile: 'certs/hub.pem', keyfile: 'certs/hub.key', crlfile: 'certs/crl.pem' },
    grants: [{ certificate: 'edge', topics: ['news/*', 'prices'] }],
  },
  rules: [
    // What happens during an outage that is no longer than this arrives afterwards.
    { topics: 'news/*', keep: { messages: 10_000, age: '1h' } },
    { topics: 'prices', keep: { messages: 1_000, age: '1h' } },
  ],
})

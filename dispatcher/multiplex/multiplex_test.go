// SPDX-License-Identifier: Apache-2.0

package multiplex_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/dispatcher/multiplex"
)

var _ = Describe("Calls", func() {
	It("at the same time get their own answers, whatever their size", func(ctx SpecContext) {
		w := start(newPath(), 1024, time.Second)
		var all sync.WaitGroup
		for caller := range 64 {
			all.Go(func() {
				defer GinkgoRecover()
				for round := range 20 {
					head := []byte{byte(caller), byte(round)}
					payload := bytes.Repeat(head, (caller*round*97)%(maxBytes/4))
					got, err := w.client.Call(ctx, timeout, echo, head, payload)
					Expect(err).NotTo(HaveOccurred())
					Expect(bytes.Equal(got, append(head, payload...))).To(BeTrue())
				}
			})
		}
		all.Wait()
	})

	It("are not delayed by a slow call", func(ctx SpecContext) {
		w := start(newPath(), 1024, time.Second)
		var slow []<-chan answer
		for range 100 {
			slow = append(slow, call(ctx, w.client, timeout, block, "slow"))
		}
		for range slow {
			Eventually(ctx, w.begun).Should(Receive())
		}
		Expect(w.client.Call(ctx, timeout, echo, nil, []byte("fast"))).To(BeEquivalentTo("fast"))
		close(w.release)
		for _, came := range slow {
			Eventually(ctx, came).Should(Receive(Equal(answer{body: "slow"})))
		}
	})

	It("that are malformed or too long fail without affecting others", func(ctx SpecContext) {
		w := start(newPath(), 1024, time.Second)
		Eventually(ctx, call(ctx, w.client, timeout, fail, "x")).Should(Receive(failsWith(multiplex.ErrMalformed)))
		Expect(w.client.Call(ctx, timeout, echo, nil, []byte("x"))).To(BeEquivalentTo("x"))
		tooLong := string(make([]byte, maxBytes+1))
		Eventually(ctx, call(ctx, w.client, timeout, echo, tooLong)).Should(Receive(failsWith(multiplex.ErrLost)))
		Eventually(ctx, call(ctx, w.client, timeout, long, "x")).Should(Receive(failsWith(multiplex.ErrLost)))
		Expect(w.client.Call(ctx, timeout, echo, nil, []byte("x"))).To(BeEquivalentTo("x"), "on another connection")
	})

	It("beyond the limit of calls under way are not taken", func(ctx SpecContext) {
		w := start(newPath(), 2, time.Second)
		first, second := call(ctx, w.client, timeout, block, "1"), call(ctx, w.client, timeout, block, "2")
		Eventually(ctx, w.begun).Should(Receive())
		Eventually(ctx, w.begun).Should(Receive())
		Eventually(ctx, call(ctx, w.client, timeout, echo, "3")).Should(Receive(failsWith(multiplex.ErrNotTaken)))
		close(w.release)
		Eventually(ctx, first).Should(Receive(Equal(answer{body: "1"})))
		Eventually(ctx, second).Should(Receive(Equal(answer{body: "2"})))
		Expect(w.client.Call(ctx, timeout, echo, nil, []byte("4"))).To(BeEquivalentTo("4"))
	})

	It("end when their callers give up, and their late answers are dropped", func(ctx SpecContext) {
		w := start(newPath(), 1024, time.Second)
		short, cancel := context.WithCancel(ctx)
		came := call(short, w.client, timeout, block, "x")
		Eventually(ctx, w.begun).Should(Receive())
		cancel()
		Eventually(ctx, came).Should(Receive(And(failsWith(multiplex.ErrLost), because(context.Canceled))))
		close(w.release)
		Expect(w.client.Call(ctx, timeout, echo, nil, []byte("y"))).To(BeEquivalentTo("y"))
		Eventually(ctx, call(short, w.client, timeout, echo, "z")).Should(Receive(failsWith(multiplex.ErrNotTaken)))
	})

	It("end in time when the server stops reading", func(ctx SpecContext) {
		path := newPath()
		conns := byHand(path)
		client := clientOf(path)
		stuck := call(ctx, client, 300*time.Millisecond, echo, string(make([]byte, maxBytes))) // more than a socket holds
		conn := <-conns
		DeferCleanup(conn.Close)
		_, err := io.ReadFull(conn, make([]byte, 1)) // it is being written
		Expect(err).NotTo(HaveOccurred())
		behind := call(ctx, client, 200*time.Millisecond, echo, "behind")
		Eventually(ctx, behind).Should(Receive(And(failsWith(multiplex.ErrNotTaken), because(context.DeadlineExceeded))))
		Eventually(ctx, stuck).Should(Receive(And(failsWith(multiplex.ErrLost), because(context.DeadlineExceeded))))
	})
})

var _ = Describe("A server that ends", func() {
	It("answers the calls it took, and takes no others", func(ctx SpecContext) {
		w := start(newPath(), 1024, timeout)
		came := call(ctx, w.client, timeout, block, "under way")
		Eventually(ctx, w.begun).Should(Receive())
		w.cancel()
		Eventually(ctx, func() <-chan answer { return call(ctx, clientOf(w.path), timeout, echo, "x") }).
			Should(Receive(failsWith(multiplex.ErrNotTaken)), "a new connection")
		Eventually(ctx, call(ctx, w.client, timeout, echo, "x")).Should(Receive(failsWith(multiplex.ErrNotTaken)))
		Expect(w.served).NotTo(Receive())
		close(w.release)
		Eventually(ctx, came).Should(Receive(Equal(answer{body: "under way"})))
		Eventually(ctx, w.served).Should(Receive(BeNil()))
		Eventually(ctx, call(ctx, w.client, timeout, echo, "x")).Should(Receive(failsWith(multiplex.ErrNotTaken)))
		start(w.path, 1024, time.Second)
		Expect(w.client.Call(ctx, timeout, echo, nil, []byte("again"))).To(BeEquivalentTo("again"))
	})

	It("loses calls that are unanswered at the end of the grace period", func(ctx SpecContext) {
		w := start(newPath(), 1024, 50*time.Millisecond)
		came := call(ctx, w.client, timeout, block, "under way")
		Eventually(ctx, w.begun).Should(Receive())
		w.cancel()
		Eventually(ctx, came).Should(Receive(failsWith(multiplex.ErrLost)))
		Eventually(ctx, w.served).Should(Receive(MatchError(multiplex.ErrCutOff)))
		close(w.release)
	})

	It("without a bye frame loses the calls it was sent", func(ctx SpecContext) {
		path := newPath()
		conns := byHand(path)
		client := clientOf(path)
		first, second := call(ctx, client, timeout, echo, "1"), call(ctx, client, timeout, echo, "2")
		conn := <-conns
		readRequest(conn)
		readRequest(conn)
		Expect(conn.Close()).To(Succeed())
		Eventually(ctx, first).Should(Receive(failsWith(multiplex.ErrLost)))
		Eventually(ctx, second).Should(Receive(failsWith(multiplex.ErrLost)))
	})

	It("with a bye frame has not taken the calls it did not answer", func(ctx SpecContext) {
		path := newPath()
		conns := byHand(path)
		client := clientOf(path)
		first, second := call(ctx, client, timeout, echo, "1"), call(ctx, client, timeout, echo, "2")
		conn := <-conns
		answered := readRequest(conn)
		readRequest(conn)
		Expect(conn.Write(append(frameOf(answered, kindAnswer, "answer"), frameOf(0, kindBye, "")...))).To(BeNumerically(">", 0))
		var got [2]answer
		Eventually(ctx, first).Should(Receive(&got[0]))
		Eventually(ctx, second).Should(Receive(&got[1]))
		Expect(got[:]).To(ConsistOf(Equal(answer{body: "answer"}), failsWith(multiplex.ErrNotTaken)))
	})

	It("with an invalid frame ends the connection", func(ctx SpecContext) {
		path := newPath()
		conns := byHand(path)
		came := call(ctx, clientOf(path), timeout, echo, "1")
		conn := <-conns
		id := readRequest(conn)
		Expect(conn.Write(append(frameOf(id+1, kindAnswer, "for nobody"), frameOf(id, 77, "")...))).To(BeNumerically(">", 0))
		Eventually(ctx, came).Should(Receive(failsWith(multiplex.ErrLost)))
		Expect(io.ReadAll(conn)).To(BeEmpty())
	})
})

var _ = Describe("A server", func() {
	It("closes a connection that sends no frames, and goes on", func(ctx SpecContext) {
		w := start(newPath(), 1024, time.Second)
		for _, sent := range []string{"GET / HTTP/1.1\r\n\r\n", string(frameOf(1, echo, string(make([]byte, maxBytes+1))))[:9]} {
			conn, err := net.Dial("unix", w.path)
			Expect(err).NotTo(HaveOccurred())
			Expect(conn.Write([]byte(sent))).To(Equal(len(sent)))
			Expect(conn.SetReadDeadline(time.Now().Add(timeout))).To(Succeed())
			_, err = conn.Read(make([]byte, 1))
			Expect(err).To(Or(MatchError(io.EOF), MatchError(ContainSubstring("reset by peer"))))
		}
		Expect(w.client.Call(ctx, timeout, echo, nil, []byte("x"))).To(BeEquivalentTo("x"))
	})

	It("finishes the calls of a client that is gone", func(ctx SpecContext) {
		w := start(newPath(), 1024, timeout)
		came := call(ctx, w.client, timeout, block, "x")
		Eventually(ctx, w.begun).Should(Receive())
		w.client.Close()
		Eventually(ctx, came).Should(Receive(failsWith(multiplex.ErrLost)))
		Expect(w.client.Call(ctx, timeout, echo, nil, []byte("y"))).To(BeEquivalentTo("y"), "the client is still usable")
		w.cancel()
		Consistently(w.served, "50ms").ShouldNot(Receive())
		close(w.release)
		Eventually(ctx, w.served).Should(Receive(BeNil()))
	})
})

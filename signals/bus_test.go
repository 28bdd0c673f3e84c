package signals_test

import (
	"context"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goquintet/quintet/signals"
)

func TestBus_ASignalAndItsEventShareTheirName(t *testing.T) {
	t.Parallel()
	bus := reflect.TypeFor[signals.Bus]()
	var names []string
	for field := range bus.Fields() {
		names = append(names, field.Name)
		send, ok := reflect.PointerTo(field.Type).MethodByName("Send")
		if !ok {
			t.Fatalf("Bus.%s is no Signal", field.Name)
		}
		if event := send.Type.In(2); event.Name() != field.Name {
			t.Errorf("Bus.%s sends %v", field.Name, event)
		}
	}
	want := []string{
		"RequestStarted", "ResponseStarted", "RequestFinished", "RequestFailed",
		"ConnectionCreated", "ConnectionReleased",
		"CallbackFinished", "TemplateRendered",
		"MigrateStarted", "MigrateFinished",
	}
	if !slices.Equal(names, want) {
		t.Errorf("Bus has %q, want %q", names, want)
	}
}

// Connects a receiver twice to each signal, whichever fields Bus has.
func TestBus_OnDuplicateCoversEverySignal(t *testing.T) {
	t.Parallel()
	var bus signals.Bus
	var heard []string
	bus.OnDuplicate(func(d signals.Duplicate) { heard = append(heard, d.Event+" "+d.UID) })

	var want []string
	value := reflect.ValueOf(&bus).Elem()
	for i := range value.NumField() {
		want = append(want, "signals."+value.Type().Field(i).Name+" audit")
		connectOnce := value.Field(i).Addr().MethodByName("ConnectOnce")
		receive := reflect.MakeFunc(connectOnce.Type().In(1), func([]reflect.Value) []reflect.Value {
			return []reflect.Value{reflect.Zero(reflect.TypeFor[error]())}
		})
		for range 2 {
			connectOnce.Call([]reflect.Value{reflect.ValueOf("audit"), receive})
		}
	}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

func TestBus_TwoSitesHearNothingOfEachOther(t *testing.T) {
	t.Parallel()
	var shop, blog signals.Bus
	shop.RequestStarted.ConnectOnce("audit", func(context.Context, signals.RequestStarted) error { return errOutOfInk })
	if blog.RequestStarted.HasReceivers() {
		t.Error("a receiver of one bus is connected to another")
	}
	if err := blog.RequestStarted.Send(t.Context(), signals.RequestStarted{}); err != nil {
		t.Errorf("Send reached another bus: %v", err)
	}
	if err := shop.RequestStarted.Send(t.Context(), signals.RequestStarted{}); err == nil {
		t.Error("Send did not reach its own bus")
	}
}

func TestBus_GoVetReportsCopies(t *testing.T) {
	t.Parallel()
	output, err := exec.CommandContext(t.Context(), "go", "vet", "-copylocks", "./testdata/copied").CombinedOutput()
	if err == nil {
		t.Error("go vet is content with a copied bus")
	}
	for _, want := range []string{
		"return copies lock value: github.com/goquintet/quintet/signals.Bus",
		"assignment copies lock value to started: github.com/goquintet/quintet/signals.Signal",
	} {
		if !strings.Contains(string(output), want) {
			t.Errorf("go vet does not say %q:\n%s", want, output)
		}
	}
}

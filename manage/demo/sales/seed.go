package sales

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
)

// Amount is how many sales [Seed] makes.
const Amount = 30_000

// seedAfterMigrate fills the tables in the run that has made them: what Django does
// with post_migrate.
func seedAfterMigrate(ctx context.Context, e signals.MigrateFinished) error {
	if e.Backwards || e.Alias != db.DefaultAlias || !slices.Contains(e.Applied, "sales.0001_initial") {
		return nil
	}
	return Seed(ctx, app.From(ctx).Logger())
}

// seedCommand is "manage seed", for tables that have lost their rows.
func seedCommand() app.Command {
	return app.Command{
		Name: "seed", Short: "Fill empty sales tables with sample data, as migrate does when it makes them",
		Run: func(ctx context.Context, site *app.Site, _ []string) error { return Seed(ctx, site.Logger()) },
	}
}

// Seed fills empty tables with sample data, the same on every machine, and logs its
// progress. Tables with a region in them are left alone. All of it is one
// transaction: half a seed does not exist.
func Seed(ctx context.Context, logger *slog.Logger) error {
	return db.From(ctx).RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		seeded, err := tx.NewSelect().Model((*Region)(nil)).Exists(ctx)
		if err != nil {
			return fmt.Errorf("sales: seed: %w", err)
		}
		if seeded {
			logger.InfoContext(ctx, "the sales have been filled before")
			return nil
		}
		regions := sampleRegions()
		if _, err := tx.NewInsert().Model(&regions).Exec(ctx); err != nil {
			return fmt.Errorf("sales: seed regions: %w", err)
		}
		samples := newSampler(regions)
		for done := 0; done < Amount; {
			batch := samples.next(min(1000, Amount-done))
			if _, err := tx.NewInsert().Model(&batch).Exec(ctx); err != nil {
				return fmt.Errorf("sales: seed sales: %w", err)
			}
			done += len(batch)
			if done%10_000 == 0 || done == Amount {
				logger.InfoContext(ctx, "filling the sales", "done", done, "of", Amount)
			}
		}
		return nil
	})
}

// sampler invents one sale after the other: a chain of music shops and its days.
type sampler struct {
	dice    *rand.Rand
	regions []Region
	now     time.Time
}

func newSampler(regions []Region) *sampler {
	return &sampler{
		dice:    rand.New(rand.NewPCG(5, 1990)), // the same numbers each time
		regions: regions,
		now:     time.Date(2025, time.January, 2, 9, 0, 0, 0, time.UTC),
	}
}

func (s *sampler) next(n int) []Sale {
	products := sampleProducts()
	batch := make([]Sale, n)
	for i := range batch {
		product := products[s.dice.IntN(len(products))]
		s.now = s.now.Add(time.Duration(s.dice.IntN(20*60)) * time.Second) // every ten minutes or so
		if s.now.Hour() >= 19 {
			s.now = s.now.Truncate(24 * time.Hour).Add(33 * time.Hour) // the shops open at nine
		}
		batch[i] = Sale{
			RegionID:  s.regions[s.dice.IntN(len(s.regions))].ID,
			Product:   product.name,
			Quantity:  1 + s.dice.IntN(product.most),
			UnitPrice: product.price,
			SoldAt:    s.now,
		}
	}
	return batch
}
